import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** A path beside this file. */
const beside = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  base: "/dashboard/",
  resolve: {
    // The client's source: what is tested there is what runs here.
    alias: { "nexus-warp-realtime": beside("../clients/typescript/src/index.ts") },
  },
  build: {
    outDir: beside("../nexus_gateway/studio/dashboard/dist"),
    emptyOutDir: true,
    // The page may load no data URLs but images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: {
    proxy: {
      "/api": "http://127.0.0.1:8000",
      "/ws": { target: "ws://127.0.0.1:8000", ws: true },
    },
  },
});
