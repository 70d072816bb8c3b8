/** What a relay says of nodes. */
export const RELAY = `
syntax = "proto3";
package relay;
message NodeStatusEvent {
  NodeState state_change = 1; repeated string node_names = 2; string message = 3;
}
enum NodeState {
  UNKNOWN_NODE_STATE = 0; NODE_CONNECTED = 1; NODE_UNAVAILABLE = 2; NODE_GONE = 3;
  NODE_ERROR = 4;
}
`;
