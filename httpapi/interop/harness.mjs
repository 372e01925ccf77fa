// Runs scenarios against a hub whose model and network the Go test directs
// (interop_remote_test.go), and prints one line of JSON about each.
import assert from 'node:assert/strict';

export const [, , hub, line, remote, ...args] = process.argv;

const scenarios = [];
export const scenario = (name, play) => scenarios.push({ name, play });

/** Says to the Go test what to do; the answer is its. */
const tell = async (command) => (await fetch(remote, { method: 'POST', body: JSON.stringify(command) })).json();

/** What the model answers to `said`; with `hold` it waits in front of that token. */
export const answer = (said, tokens, rest = {}) => tell({ do: 'answer', said, tokens, ...rest });
export const reached = (said) => tell({ do: 'reached', said });
export const open = (said) => tell({ do: 'open', said });
export const asked = async () => (await tell({ do: 'asked' })).asked;
/** Breaks the connections that lead through `line`, and the next ones after so many bytes. */
export const cut = (...after) => tell({ do: 'cut', after });
/** Kills the hub's process, and starts another on what that has kept. */
export const restart = () => tell({ do: 'restart' });
export const cuts = async () => (await tell({ do: 'cuts' })).cuts;

/** The stored conversation. */
export async function stored(id) {
  const response = await fetch(`${hub}/sessions/${id}`);
  assert.equal(response.status, 200);
  return (await response.json()).messages;
}

/** Waits until `holds` does. */
export async function until(what, holds) {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not in 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export async function play() {
  for (const { name, play } of scenarios) {
    let error = '';
    try {
      let timer;
      const late = new Promise((_, reject) => { timer = setTimeout(reject, 60_000, new Error('not done in 60 s')); });
      await Promise.race([play(), late]).finally(() => clearTimeout(timer));
    } catch (failure) {
      error = failure?.stack ?? String(failure);
    }
    console.log(JSON.stringify({ name, error }));
  }
  console.log(JSON.stringify({ done: scenarios.length }));
  process.exit(0);
}
