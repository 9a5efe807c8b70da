/** A file that the reader chose, under its path in the folder that they mean. */
export interface ChosenFile {
  path: string;
  file: File;
}

export interface Chosen {
  files: readonly ChosenFile[];
  /** The folder's or the archive's name; "" for several files without a folder. */
  name: string;
}

// What systems and editors leave behind; nobody chooses it on purpose. The server ignores the same.
const JUNK = new Set(["__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", ".git", ".gitattributes", ".gitignore", "__pycache__"]);
const MAX_FILES = 1000;

export class TooManyFiles extends Error {}

/** What an `<input type="file">` holds, with `webkitdirectory` or without. */
export function chosenFromInput(list: FileList): Chosen {
  return asChosen([...list].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
}

/**
 * What was dropped: folders are walked. Call it before anything is awaited: the browser forgets the items.
 * @throws TooManyFiles
 */
export async function chosenFromDrop(transfer: DataTransfer): Promise<Chosen> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const files: ChosenFile[] = [];
  for (const entry of entries) await collect(entry, files);
  return asChosen(files);
}

async function collect(entry: FileSystemEntry, files: ChosenFile[]): Promise<void> {
  if (isJunk(entry.name)) return;
  if (files.length >= MAX_FILES) throw new TooManyFiles();
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    files.push({ path: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  for (const child of await children(entry as FileSystemDirectoryEntry)) await collect(child, files);
}

async function children(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    // A reader gives a hundred at a time, and nothing at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    found.push(...some);
  }
}

/** Paths relative to the innermost folder that holds everything. */
function asChosen(all: readonly ChosenFile[]): Chosen {
  let files = all.filter(({ path }) => !path.split("/").some(isJunk));
  let name = "";
  for (;;) {
    const top = files[0]?.path.split("/")[0];
    if (top === undefined || !files.every(({ path }) => path.startsWith(`${top}/`))) break;
    name = top;
    files = files.map(({ path, file }) => ({ path: path.slice(top.length + 1), file }));
  }
  if (!name && files.length === 1) name = files[0]!.path.replace(/(\.tar)?\.[^.]*$/, "");
  return { files, name };
}

function isJunk(name: string): boolean {
  return JUNK.has(name) || name.startsWith("._");
}
