/** Flows, filters on them and what is lost, as Hubble's API has them. */
export const FLOW = `
syntax = "proto3";
package flow;
message Flow {
  google.protobuf.Timestamp time = 1; string uuid = 34; Verdict verdict = 2;
  uint32 drop_reason = 3; AuthType auth_type = 35; Ethernet ethernet = 4; IP IP = 5;
  Layer4 l4 = 6; Tunnel tunnel = 39; Endpoint source = 8; Endpoint destination = 9;
  FlowType Type = 10; string node_name = 11; repeated string node_labels = 37;
  repeated string source_names = 13; repeated string destination_names = 14; Layer7 l7 = 15;
  bool reply = 16; CiliumEventType event_type = 19; Service source_service = 20;
  Service destination_service = 21; TrafficDirection traffic_direction = 22;
  uint32 policy_match_type = 23; TraceObservationPoint trace_observation_point = 24;
  TraceReason trace_reason = 36; FileInfo file = 38; DropReason drop_reason_desc = 25;
  google.protobuf.BoolValue is_reply = 26; DebugCapturePoint debug_capture_point = 27;
  NetworkInterface interface = 28; uint32 proxy_port = 29; TraceContext trace_context = 30;
  SocketTranslationPoint sock_xlate_point = 31; uint64 socket_cookie = 32; uint64 cgroup_id = 33;
  string Summary = 100000; google.protobuf.Any extensions = 150000;
  repeated Policy egress_allowed_by = 21001; repeated Policy ingress_allowed_by = 21002;
  repeated Policy egress_denied_by = 21004; repeated Policy ingress_denied_by = 21005;
  repeated string policy_log = 21006;
}
enum FlowType {
  UNKNOWN_TYPE = 0; L3_L4 = 1; L7 = 2; SOCK = 3;
}
enum AuthType {
  DISABLED = 0; SPIRE = 1; TEST_ALWAYS_FAIL = 2;
}
enum TraceObservationPoint {
  UNKNOWN_POINT = 0; TO_PROXY = 1; TO_HOST = 2; TO_STACK = 3; TO_OVERLAY = 4; TO_ENDPOINT = 101;
  FROM_ENDPOINT = 5; FROM_PROXY = 6; FROM_HOST = 7; FROM_STACK = 8; FROM_OVERLAY = 9;
  FROM_NETWORK = 10; TO_NETWORK = 11; FROM_CRYPTO = 12; TO_CRYPTO = 13;
}
enum TraceReason {
  TRACE_REASON_UNKNOWN = 0; NEW = 1; ESTABLISHED = 2; REPLY = 3; RELATED = 4; REOPENED = 5;
  SRV6_ENCAP = 6; SRV6_DECAP = 7; ENCRYPT_OVERLAY = 8;
}
message FileInfo {
  string name = 1; uint32 line = 2;
}
message Layer4 {
  oneof protocol { TCP TCP = 1; UDP UDP = 2; ICMPv4 ICMPv4 = 3; ICMPv6 ICMPv6 = 4; SCTP SCTP = 5; }
}
enum L7FlowType {
  UNKNOWN_L7_TYPE = 0; REQUEST = 1; RESPONSE = 2; SAMPLE = 3;
}
message Layer7 {
  L7FlowType type = 1; uint64 latency_ns = 2;
  oneof record { DNS dns = 100; HTTP http = 101; Kafka kafka = 102; }
}
message TraceContext {
  TraceParent parent = 1;
}
message TraceParent {
  string trace_id = 1;
}
message Endpoint {
  uint32 ID = 1; uint32 identity = 2; string cluster_name = 7; string namespace = 3;
  repeated string labels = 4; string pod_name = 5; repeated Workload workloads = 6;
}
message Workload {
  string name = 1; string kind = 2;
}
message TCP {
  uint32 source_port = 1; uint32 destination_port = 2; TCPFlags flags = 3;
}
message IP {
  string source = 1; string source_xlated = 5; string destination = 2; IPVersion ipVersion = 3;
  bool encrypted = 4;
}
message Ethernet {
  string source = 1; string destination = 2;
}
message TCPFlags {
  bool FIN = 1; bool SYN = 2; bool RST = 3; bool PSH = 4; bool ACK = 5; bool URG = 6;
  bool ECE = 7; bool CWR = 8; bool NS = 9;
}
message UDP {
  uint32 source_port = 1; uint32 destination_port = 2;
}
message SCTP {
  uint32 source_port = 1; uint32 destination_port = 2;
}
message ICMPv4 {
  uint32 type = 1; uint32 code = 2;
}
message ICMPv6 {
  uint32 type = 1; uint32 code = 2;
}
enum IPVersion {
  IP_NOT_USED = 0; IPv4 = 1; IPv6 = 2;
}
message Tunnel {
  enum Protocol { UNKNOWN = 0; VXLAN = 1; GENEVE = 2; } Protocol protocol = 1; IP IP = 2;
  Layer4 l4 = 3;
}
enum Verdict {
  VERDICT_UNKNOWN = 0; FORWARDED = 1; DROPPED = 2; ERROR = 3; AUDIT = 4; REDIRECTED = 5;
  TRACED = 6; TRANSLATED = 7;
}
enum TrafficDirection {
  TRAFFIC_DIRECTION_UNKNOWN = 0; INGRESS = 1; EGRESS = 2;
}
enum DebugCapturePoint {
  DBG_CAPTURE_POINT_UNKNOWN = 0; DBG_CAPTURE_DELIVERY = 4; DBG_CAPTURE_FROM_LB = 5;
  DBG_CAPTURE_AFTER_V46 = 6; DBG_CAPTURE_AFTER_V64 = 7; DBG_CAPTURE_PROXY_PRE = 8;
  DBG_CAPTURE_PROXY_POST = 9; DBG_CAPTURE_SNAT_PRE = 10; DBG_CAPTURE_SNAT_POST = 11;
}
message Policy {
  string name = 1; string namespace = 2; repeated string labels = 3; uint64 revision = 4;
  string kind = 5;
}
message EventTypeFilter {
  int32 type = 1; bool match_sub_type = 2; int32 sub_type = 3;
}
message CiliumEventType {
  int32 type = 1; int32 sub_type = 2;
}
message FlowFilter {
  repeated string uuid = 29; repeated string source_ip = 1;
  repeated string source_ip_xlated = 34; repeated string source_pod = 2;
  repeated string source_fqdn = 7; repeated string source_label = 10;
  repeated string source_service = 16; repeated Workload source_workload = 26;
  repeated string source_cluster_name = 37; repeated string destination_ip = 3;
  repeated string destination_pod = 4; repeated string destination_fqdn = 8;
  repeated string destination_label = 11; repeated string destination_service = 17;
  repeated Workload destination_workload = 27; repeated string destination_cluster_name = 38;
  repeated TrafficDirection traffic_direction = 30; repeated Verdict verdict = 5;
  repeated DropReason drop_reason_desc = 33; repeated NetworkInterface interface = 35;
  repeated EventTypeFilter event_type = 6; repeated string http_status_code = 9;
  repeated string protocol = 12; repeated string source_port = 13;
  repeated string destination_port = 14; repeated bool reply = 15;
  repeated string dns_query = 18; repeated uint32 source_identity = 19;
  repeated uint32 destination_identity = 20; repeated string http_method = 21;
  repeated string http_path = 22; repeated string http_url = 31;
  repeated HTTPHeader http_header = 32; repeated TCPFlags tcp_flags = 23;
  repeated string node_name = 24; repeated string node_labels = 36;
  repeated IPVersion ip_version = 25; repeated string trace_id = 28;
  message Experimental { repeated string cel_expression = 1; } Experimental experimental = 999;
}
enum EventType {
  UNKNOWN = 0; EventSample = 9; RecordLost = 2;
}
message DNS {
  string query = 1; repeated string ips = 2; uint32 ttl = 3; repeated string cnames = 4;
  string observation_source = 5; uint32 rcode = 6; repeated string qtypes = 7;
  repeated string rrtypes = 8;
}
message HTTPHeader {
  string key = 1; string value = 2;
}
message HTTP {
  uint32 code = 1; string method = 2; string url = 3; string protocol = 4;
  repeated HTTPHeader headers = 5;
}
message Kafka {
  int32 error_code = 1; int32 api_version = 2; string api_key = 3; int32 correlation_id = 4;
  string topic = 5;
}
message Service {
  string name = 1; string namespace = 2;
}
enum LostEventSource {
  UNKNOWN_LOST_EVENT_SOURCE = 0; PERF_EVENT_RING_BUFFER = 1; OBSERVER_EVENTS_QUEUE = 2;
  HUBBLE_RING_BUFFER = 3;
}
message LostEvent {
  LostEventSource source = 1; uint64 num_events_lost = 2; google.protobuf.Int32Value cpu = 3;
}
message NetworkInterface {
  uint32 index = 1; string name = 2;
}
enum SocketTranslationPoint {
  SOCK_XLATE_POINT_UNKNOWN = 0; SOCK_XLATE_POINT_PRE_DIRECTION_FWD = 1;
  SOCK_XLATE_POINT_POST_DIRECTION_FWD = 2; SOCK_XLATE_POINT_PRE_DIRECTION_REV = 3;
  SOCK_XLATE_POINT_POST_DIRECTION_REV = 4;
}
`;
