import { defineConfig, type Plugin } from "vite";

import { digestSources } from "./sources.ts";

/** Writes down which sources the assets were built from, so that a test can tell without Node. */
function recordSources(): Plugin {
  return {
    name: "record-sources",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "sources.json", source: `{"sha256": "${digestSources(import.meta.dirname)}"}\n` });
    },
  };
}

export default defineConfig({
  plugins: [recordSources()],
  // The server puts a new number in its place each time: wavesurfer.js needs it to style its shadow root.
  html: { cspNonce: "CSP-NONCE" },
  build: {
    outDir: "../server/page",
    emptyOutDir: true,
    target: "es2022",
    manifest: "manifest.json",
    modulePreload: { polyfill: false },
    // A data: URL would need a wider Content-Security-Policy.
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000" } },
});
