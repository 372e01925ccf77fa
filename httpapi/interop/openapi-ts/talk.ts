// Has a conversation with the hub, by what openapi-typescript makes of its description.
import createClient from 'openapi-fetch';
import type { components, paths } from './hub.js';

const hub = createClient<paths>({ baseUrl: process.argv[2]! });
const check = (what: string, holds: boolean, got: unknown) => {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(got)}`);
};

const made = await hub.POST('/sessions');
check('made', !!made.data, made.error);
const id: string = made.data!.id;
const said = await hub.POST('/chat', { body: { message: 'I am sad', conversation_id: id } });
const reply = said.data as components['schemas']['ChatResponse'];
check('said', reply?.finish_reason === 'stop' && reply.response !== '', said);
const got = await hub.GET('/sessions/{session_id}', { params: { path: { session_id: id } } });
check('got', got.data?.messages.length === 2 && got.data.messages[1]!.content === reply.response, got);
const gone = await hub.DELETE('/sessions/{session_id}', { params: { path: { session_id: id } } });
check('gone', !!gone.data, gone.error);
const missing = await hub.GET('/sessions/{session_id}', { params: { path: { session_id: id } } });
check('missing', missing.error?.error.code === 'session_not_found', missing);
console.log('talked');
