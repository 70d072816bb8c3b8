/** Events of the agent and of the programs' debugging, as Hubble's API has them. */
export const EVENTS = `
syntax = "proto3";
package flow;
enum AgentEventType {
  AGENT_EVENT_UNKNOWN = 0; AGENT_STARTED = 2; POLICY_UPDATED = 3; POLICY_DELETED = 4;
  ENDPOINT_REGENERATE_SUCCESS = 5; ENDPOINT_REGENERATE_FAILURE = 6; ENDPOINT_CREATED = 7;
  ENDPOINT_DELETED = 8; IPCACHE_UPSERTED = 9; IPCACHE_DELETED = 10; SERVICE_UPSERTED = 11;
  SERVICE_DELETED = 12;
}
message AgentEvent {
  AgentEventType type = 1;
  oneof notification { AgentEventUnknown unknown = 100; TimeNotification agent_start = 101; PolicyUpdateNotification policy_update = 102; EndpointRegenNotification endpoint_regenerate = 103; EndpointUpdateNotification endpoint_update = 104; IPCacheNotification ipcache_update = 105; ServiceUpsertNotification service_upsert = 106; ServiceDeleteNotification service_delete = 107; }
}
message AgentEventUnknown {
  string type = 1; string notification = 2;
}
message TimeNotification {
  google.protobuf.Timestamp time = 1;
}
message PolicyUpdateNotification {
  repeated string labels = 1; uint64 revision = 2; int64 rule_count = 3;
}
message EndpointRegenNotification {
  uint64 id = 1; repeated string labels = 2; string error = 3;
}
message EndpointUpdateNotification {
  uint64 id = 1; repeated string labels = 2; string error = 3; string pod_name = 4;
  string namespace = 5;
}
message IPCacheNotification {
  string cidr = 1; uint32 identity = 2; google.protobuf.UInt32Value old_identity = 3;
  string host_ip = 4; string old_host_ip = 5; uint32 encrypt_key = 6; string namespace = 7;
  string pod_name = 8;
}
message ServiceUpsertNotificationAddr {
  string ip = 1; uint32 port = 2;
}
message ServiceUpsertNotification {
  uint32 id = 1; ServiceUpsertNotificationAddr frontend_address = 2;
  repeated ServiceUpsertNotificationAddr backend_addresses = 3; string type = 4;
  string traffic_policy = 5; string name = 6; string namespace = 7;
  string ext_traffic_policy = 8; string int_traffic_policy = 9;
}
message ServiceDeleteNotification {
  uint32 id = 1;
}
message DebugEvent {
  DebugEventType type = 1; Endpoint source = 2; google.protobuf.UInt32Value hash = 3;
  google.protobuf.UInt32Value arg1 = 4; google.protobuf.UInt32Value arg2 = 5;
  google.protobuf.UInt32Value arg3 = 6; string message = 7; google.protobuf.Int32Value cpu = 8;
}
enum DebugEventType {
  DBG_EVENT_UNKNOWN = 0; DBG_GENERIC = 1; DBG_LOCAL_DELIVERY = 2; DBG_ENCAP = 3;
  DBG_LXC_FOUND = 4; DBG_POLICY_DENIED = 5; DBG_CT_LOOKUP = 6; DBG_CT_LOOKUP_REV = 7;
  DBG_CT_MATCH = 8; DBG_CT_CREATED = 9; DBG_CT_CREATED2 = 10; DBG_ICMP6_HANDLE = 11;
  DBG_ICMP6_REQUEST = 12; DBG_ICMP6_NS = 13; DBG_ICMP6_TIME_EXCEEDED = 14; DBG_CT_VERDICT = 15;
  DBG_DECAP = 16; DBG_PORT_MAP = 17; DBG_ERROR_RET = 18; DBG_TO_HOST = 19; DBG_TO_STACK = 20;
  DBG_PKT_HASH = 21; DBG_LB6_LOOKUP_FRONTEND = 22; DBG_LB6_LOOKUP_FRONTEND_FAIL = 23;
  DBG_LB6_LOOKUP_BACKEND_SLOT = 24; DBG_LB6_LOOKUP_BACKEND_SLOT_SUCCESS = 25;
  DBG_LB6_LOOKUP_BACKEND_SLOT_V2_FAIL = 26; DBG_LB6_LOOKUP_BACKEND_FAIL = 27;
  DBG_LB6_REVERSE_NAT_LOOKUP = 28; DBG_LB6_REVERSE_NAT = 29; DBG_LB4_LOOKUP_FRONTEND = 30;
  DBG_LB4_LOOKUP_FRONTEND_FAIL = 31; DBG_LB4_LOOKUP_BACKEND_SLOT = 32;
  DBG_LB4_LOOKUP_BACKEND_SLOT_SUCCESS = 33; DBG_LB4_LOOKUP_BACKEND_SLOT_V2_FAIL = 34;
  DBG_LB4_LOOKUP_BACKEND_FAIL = 35; DBG_LB4_REVERSE_NAT_LOOKUP = 36; DBG_LB4_REVERSE_NAT = 37;
  DBG_LB4_LOOPBACK_SNAT = 38; DBG_LB4_LOOPBACK_SNAT_REV = 39; DBG_CT_LOOKUP4 = 40;
  DBG_RR_BACKEND_SLOT_SEL = 41; DBG_REV_PROXY_LOOKUP = 42; DBG_REV_PROXY_FOUND = 43;
  DBG_REV_PROXY_UPDATE = 44; DBG_L4_POLICY = 45; DBG_NETDEV_IN_CLUSTER = 46;
  DBG_NETDEV_ENCAP4 = 47; DBG_CT_LOOKUP4_1 = 48; DBG_CT_LOOKUP4_2 = 49; DBG_CT_CREATED4 = 50;
  DBG_CT_LOOKUP6_1 = 51; DBG_CT_LOOKUP6_2 = 52; DBG_CT_CREATED6 = 53; DBG_SKIP_PROXY = 54;
  DBG_L4_CREATE = 55; DBG_IP_ID_MAP_FAILED4 = 56; DBG_IP_ID_MAP_FAILED6 = 57;
  DBG_IP_ID_MAP_SUCCEED4 = 58; DBG_IP_ID_MAP_SUCCEED6 = 59; DBG_LB_STALE_CT = 60;
  DBG_INHERIT_IDENTITY = 61; DBG_SK_LOOKUP4 = 62; DBG_SK_LOOKUP6 = 63; DBG_SK_ASSIGN = 64;
  DBG_L7_LB = 65; DBG_SKIP_POLICY = 66;
}
`;
