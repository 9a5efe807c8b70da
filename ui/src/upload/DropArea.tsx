import { useEffect, useRef, useState } from "preact/hooks";

import { Button } from "../components/Button";
import { chosenFromDrop, chosenFromInput, type Chosen } from "./chosenFiles";
import "./upload.css";

export interface DropAreaStrings {
  title: string;
  hint: string;
  folder: string;
  files: string;
  letGo: string;
}

/** Takes a folder or files: dropped, or chosen with a button. `accept`: what the files' dialog offers. */
export function DropArea({
  strings: t,
  accept,
  onChosen,
  onError,
}: {
  strings: DropAreaStrings;
  accept?: string;
  onChosen: (chosen: Chosen) => void;
  onError: (error: unknown) => void;
}) {
  const [isOver, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer) chosenFromDrop(event.dataTransfer).then(onChosen, onError);
  };
  const over = (event: DragEvent) => {
    event.preventDefault();
    setOver(true);
  };
  return (
    <div class={`drop-area ${isOver ? "over" : ""}`} onDragOver={over} onDragLeave={() => setOver(false)} onDrop={drop}>
      <FolderMark />
      <p class="drop-title">{isOver ? t.letGo : t.title}</p>
      <p class="muted">{t.hint}</p>
      <div class="row">
        <Chooser label={t.folder} kind="primary" isFolder onChosen={onChosen} />
        <Chooser label={t.files} kind="secondary" accept={accept} onChosen={onChosen} />
      </div>
    </div>
  );
}

/** A button that opens the system's dialog. */
export function Chooser({
  label,
  kind,
  accept,
  isFolder = false,
  onChosen,
}: {
  label: string;
  kind: "primary" | "secondary" | "quiet";
  accept?: string;
  isFolder?: boolean;
  onChosen: (chosen: Chosen) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    input.current!.webkitdirectory = isFolder; // not an attribute that Preact's types know
  }, [isFolder]);
  const change = () => {
    const { files } = input.current!;
    if (files?.length) onChosen(chosenFromInput(files));
    input.current!.value = ""; // so that choosing the same again is a choice as well
  };
  return (
    <>
      <Button kind={kind} onClick={() => input.current!.click()}>
        {label}
      </Button>
      <input ref={input} class="unseen" type="file" multiple tabIndex={-1} aria-hidden="true" accept={accept} onChange={change} />
    </>
  );
}

function FolderMark() {
  return (
    <svg class="folder-mark" viewBox="0 0 48 40" aria-hidden="true">
      <path d="M3 8a4 4 0 0 1 4-4h10l5 5h19a4 4 0 0 1 4 4v19a4 4 0 0 1-4 4H7a4 4 0 0 1-4-4z" />
      <path d="M16 20v6M20.5 17v12M25 14.5v17M29.5 18.5v9M34 21v4" />
    </svg>
  );
}
