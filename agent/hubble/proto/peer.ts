/** Who a relay is told of. */
export const PEER = `
syntax = "proto3";
package peer;
message NotifyRequest {

}
message ChangeNotification {
  string name = 1; string address = 2; ChangeNotificationType type = 3; TLS tls = 4;
}
enum ChangeNotificationType {
  UNKNOWN = 0; PEER_ADDED = 1; PEER_DELETED = 2; PEER_UPDATED = 3;
}
message TLS {
  string server_name = 1;
}
`;
