import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";

/** What the built page is made of, relative to ui/. `tests/page/test_assets.py` digests the same files. */
const ROOTS = ["src", "public", "index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "sources.ts"];

/**
 * SHA-256 over all sources: for each file in the order of its path, the path, a zero byte, the content's
 * own SHA-256 in hexadecimal, and a newline.
 */
export function digestSources(folder: string): string {
  const all = createHash("sha256");
  for (const path of ROOTS.flatMap((root) => filesUnder(join(folder, root)))
    .map((file) => relative(folder, file).split(sep).join("/"))
    .sort()) {
    const content = createHash("sha256").update(readFileSync(join(folder, path))).digest("hex");
    all.update(`${path}\0${content}\n`);
  }
  return all.digest("hex");
}

function filesUnder(path: string): string[] {
  try {
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOTDIR" ? [path] : [];
  }
}
