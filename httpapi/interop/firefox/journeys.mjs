// The widget in Firefox, over WebDriver BiDi: node journeys.mjs http://the.hub /path/of/firefox
import net from 'node:net';
import { launch } from 'puppeteer-core';

const [hub, executablePath] = process.argv.slice(2);
const { hostname, port } = new URL(hub);

// A network that can be cut.
const cable = { off: false, sockets: new Set() };
const server = net.createServer((from) => {
  if (cable.off) return from.destroy();
  const to = net.connect(Number(port), hostname);
  for (const [a, b] of [[from, to], [to, from]]) {
    cable.sockets.add(a);
    a.on('error', () => {}).on('close', () => { cable.sockets.delete(a); b.destroy(); });
    a.pipe(b);
  }
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const address = `http://127.0.0.1:${server.address().port}/`;
const cut = () => cable.sockets.forEach((socket) => socket.destroy());

const browser = await launch({ browser: 'firefox', executablePath, headless: true, protocol: 'webDriverBiDi' });
let failed = false;

const until = async (page, what) => {
  const end = Date.now() + 30000;
  let last;
  while (Date.now() < end) {
    last = await page.evaluate(`(() => { const w = document.querySelector('chat-widget'), r = w?.shadowRoot, $ = (s) => r.querySelector(s), $$ = (s) => [...r.querySelectorAll(s)];
      try { return !!(${what}) } catch (e) { return String(e) } })()`).catch(String);
    if (last === true) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  const text = await page.evaluate("document.querySelector('chat-widget').shadowRoot.querySelector('.root').innerText").catch(String);
  throw new Error(`never true: ${what} (${last})\n${text}`);
};
const click = (page, selector) => page.evaluate(`[...document.querySelector('chat-widget').shadowRoot.querySelectorAll('${selector}')].find((b) => b.checkVisibility()).click()`);
const say = async (page, text) => {
  await page.evaluate("document.querySelector('chat-widget').shadowRoot.querySelector('.input').focus()");
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
};
const whole = "/^Réponse \\d+: (wörd\\d+ 😀 )+$/.test($$('.assistant').at(-1).row.message.content) && $$('.assistant').at(-1).row.message.content.includes('wörd119')";

const journeys = {
  async talk(page) {
    await say(page, 'Hello');
    await until(page, `w.state === 'ready' && ${whole} && $$('.user').length === 1 && $('.input').value === ''`);
    await until(page, "$('.tools .time') && $('.tools .copy')");
  },
  async stop(page) {
    await say(page, 'Are you a computer?');
    await until(page, "w.state === 'writing'");
    await click(page, '.send');
    await until(page, "w.state === 'ready' && $('.assistant .note').textContent === 'Stopped'");
  },
  async reload(page) {
    await say(page, 'Are you a computer?');
    await until(page, "w.state === 'writing'");
    await page.keyboard.type('a draft');
    await page.reload();
    await until(page, "w.state === 'writing' && $('.input').value === 'a draft'");
    await until(page, `w.state === 'ready' && ${whole}`);
  },
  async offline(page) {
    await say(page, 'Are you a computer?');
    await until(page, "w.state === 'writing'");
    cable.off = true;
    cut();
    await until(page, "w.state === 'reconnecting' && w.hub.tries > 1 && $('.notice').textContent.includes('connection is lost')");
    cable.off = false;
    await click(page, '.notice button');
    await until(page, `w.state === 'ready' && ${whole}`);
  },
  async 'two tabs'(page, context) {
    await say(page, 'Are you a computer?');
    await until(page, "w.state === 'writing'");
    const second = await context.newPage();
    await second.goto(address);
    await until(second, "w.state === 'writing'");
    await until(page, "w.hub.watching && w.state === 'writing'");
    for (const tab of [page, second]) await until(tab, `w.state === 'ready' && ${whole}`);
    await say(page, 'Hello');
    for (const tab of [page, second]) await until(tab, `w.state === 'ready' && $$('.user').length === 2 && ${whole}`);
    await until(second, "w.hub.watching && !w.hub.unsent.length");
  },
};

for (const [name, journey] of Object.entries(journeys)) {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    // What Firefox says of a connection that failed is no exception.
    page.on('pageerror', (error) => {
      if (String(error).includes('establish a connection')) return;
      failed = true;
      console.log(`${name}: an error in the page: ${error}`);
    });
    await page.goto(address);
    await until(page, "w.state === 'ready'");
    await journey(page, context);
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAILED ${name}: ${error.message}`);
  }
  cable.off = false;
  await context.close();
}
await browser.close();
server.close();
cut();
process.exit(failed ? 1 : 0);
