/** What filters ask of the protocols above TCP and UDP. */

import type { FlowFilterMessage, FlowMessage } from "../flow_message.ts";
import { type FlowTest, given } from "./end_filter.ts";
import { FilterError } from "./filter_error.ts";
import { regexes } from "./patterns.ts";

/** The tests of HTTP and DNS. Throws FilterError. */
export function l7Tests(filter: FlowFilterMessage): FlowTest[] {
  const http = ({ l7 }: FlowMessage) => l7?.http;
  return [
    given(filter.dns_query, (values) => {
      const passes = regexes(values);
      return ({ l7 }) => l7?.dns !== undefined && passes(l7.dns.query ?? "");
    }),
    given(filter.http_status_code, (values) => {
      for (const value of values) {
        if (!/^([1-5][0-9]{2}|[1-5][0-9]?\+)$/.test(value)) {
          throw new FilterError(`"${value}" is no HTTP status as 404, 40+ or 4+`);
        }
      }
      return (flow) => {
        const code = http(flow)?.code;
        return code !== undefined && code !== 0 &&
          values.some((value) =>
            value.endsWith("+")
              ? String(code).startsWith(value.slice(0, -1))
              : String(code) === value
          );
      };
    }),
    given(filter.http_method, (values) => {
      const methods = values.map((value) => value.toUpperCase());
      return (flow) => methods.includes(http(flow)?.method?.toUpperCase() ?? "");
    }),
    given(filter.http_url, (values) => {
      const passes = regexes(values);
      return (flow) => !!http(flow)?.url && passes(http(flow)!.url!);
    }),
    given(filter.http_path, (values) => {
      const passes = regexes(values);
      return (flow) => {
        const url = URL.parse(http(flow)?.url ?? "", "http://host");
        return !!http(flow)?.url && url !== null && passes(url.pathname);
      };
    }),
    given(
      filter.http_header,
      (values) => (flow) =>
        http(flow)?.headers?.some((header) =>
          values.some(({ key, value }) => header.key === key && header.value === value)
        ) ?? false,
    ),
  ].filter((test) => test !== undefined);
}
