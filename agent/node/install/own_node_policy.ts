/**
 * An admission policy by which a node's token, which Kubernetes binds to the node where the pod runs,
 * writes that node's slices alone: who has taken one node does not speak for the others.
 */

type Json = Record<string, unknown>;

const NAME = "pilus-own-node";
const CLAIM = "authentication.kubernetes.io/node-name";

/** Whether the Node of the token is an owner of what the variable has, or that has nothing. */
const isOwned = (variable: string) =>
  `${variable} == null || has(${variable}.metadata.ownerReferences) && ` +
  `${variable}.metadata.ownerReferences.exists(o, o.kind == "Node" && o.name == variables.node)`;

/** The policy and its binding. */
export function ownNodePolicy(account: string): Json[] {
  const apiVersion = "admissionregistration.k8s.io/v1";
  const message = "a node writes the slices that its own Node owns, and no others";
  return [
    {
      ...{ apiVersion, kind: "ValidatingAdmissionPolicy", metadata: { name: NAME } },
      spec: {
        failurePolicy: "Fail",
        matchConstraints: {
          resourceRules: [{
            apiGroups: ["cilium.io"],
            apiVersions: ["*"],
            operations: ["CREATE", "UPDATE", "DELETE"],
            resources: ["ciliumendpointslices"],
          }],
        },
        matchConditions: [{
          name: "token-of-a-node",
          expression: `request.userInfo.username == "${account}" && ` +
            `has(request.userInfo.extra) && "${CLAIM}" in request.userInfo.extra`,
        }],
        variables: [{ name: "node", expression: `request.userInfo.extra["${CLAIM}"][0]` }],
        validations: [
          { expression: isOwned("object"), message },
          { expression: isOwned("oldObject"), message },
        ],
      },
    },
    {
      ...{ apiVersion, kind: "ValidatingAdmissionPolicyBinding", metadata: { name: NAME } },
      spec: { policyName: NAME, validationActions: ["Deny"] },
    },
  ];
}
