export class HubChatTransport {}
