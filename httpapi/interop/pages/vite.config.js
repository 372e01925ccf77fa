import { readdirSync } from 'node:fs';
import { parse } from 'node:path';

// Each file is one page's script, of the same name.
const files = ['chat.jsx', 'assistant.jsx', ...readdirSync('recipes').map((name) => 'recipes/' + name)];

export default {
  logLevel: 'error',
  build: {
    target: 'esnext', minify: false,
    rollupOptions: {
      input: Object.fromEntries(files.map((file) => [parse(file).name, file])),
      output: { entryFileNames: '[name].js' },
    },
  },
};
