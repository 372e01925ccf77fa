// The deep-chat widget. What was said before a reload is shown again; the hub refuses a second page of the conversation.
import 'deep-chat';

const hub = window.HUB ?? 'http://localhost:8080';
const id = (sessionStorage.chat ??= (await (await fetch(`${hub}/sessions`, { method: 'POST' })).json()).id);
const found = await fetch(`${hub}/sessions/${id}`);
const messages = found.ok ? (await found.json()).messages : [];

const chat = document.createElement('deep-chat');
chat.history = messages.map(({ role, content }) => ({ role: role === 'user' ? 'user' : 'ai', text: content }));
chat.connect = { url: `${hub.replace(/^http/, 'ws')}/ws/${id}`, websocket: 'deep-chat', stream: { simulation: '[DONE]' } };
document.getElementById('root').append(chat);
