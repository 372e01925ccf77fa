// The AI SDK, of the version that is named, and a hub whose process is killed in mid-reply.
import assert from 'node:assert/strict';
import { answer, args, open, play, reached, restart, scenario, stored, until } from '../harness.mjs';
import { chats, lastText } from './chat.mjs';

const { page, reload } = chats(await import(args[0]));
const tokens = ['Grüße', ', 👋🏽 ', 'naïve\n\n', '漢字', '.'];
const first = ['Let ', 'me ', 'see 👋🏽'], second = ['hm', ' 漢'];
/** All that the last message thinks, whatever parts it stands in, without the blank lines between. */
const thoughts = (chat) => chat.messages.at(-1).parts.filter((part) => part.type === 'reasoning').map((part) => part.text).join('').replaceAll('\n\n', '');

for (const hold of [0, 2, 3, 4]) {
  scenario(`killed in front of token ${hold}`, async () => {
    const id = crypto.randomUUID(), said = `think ${hold}`, chat = page(id);
    await answer(said, tokens, { think: { 0: first, 3: second }, hold });
    const sending = chat.sendMessage({ text: said });
    await reached(said);
    const thought = first.join('') + (hold < 3 ? '' : second.join(''));
    await until('the page has that', () => chat.messages.length === 2
      && lastText(chat) === tokens.slice(0, hold).join('') && thoughts(chat) === thought);
    await restart();
    await sending;
    assert.equal(chat.status, 'error');
    const again = await reload(id), resuming = again.resumeStream();
    await until('it goes on', () => again.messages.length === 2);
    const asking = chat.sendMessage();
    await open(said);
    await Promise.all([resuming, asking]);
    const kept = (await stored(id))[1];
    assert.equal(kept.content, tokens.join(''));
    assert.equal(kept.finish_reason, 'stop');
    for (const shown of [again, chat]) {
      assert.equal(shown.error, undefined);
      assert.equal(shown.messages.length, 2);
      assert.equal(lastText(shown), kept.content);
      assert.equal(thoughts(shown), kept.reasoning.replaceAll('\n\n', ''));
    }
    // The SDK leaves the part open in which the first stream broke.
    assert.ok(again.messages[1].parts.every((part) => (part.state ?? 'done') === 'done'));
    // Killed between thinking and text, it is asked to go on with what it has said, and thinks once more.
    const times = { 0: [2, 1], 3: [1, 2] }[hold] ?? [1, 1];
    assert.equal(thoughts(again), first.join('').repeat(times[0]) + second.join('').repeat(times[1]));
  });
}

await play();
