import { useCallback, useEffect, useState } from "preact/hooks";

export interface Fetched<Answer> {
  /** undefined until the first answer; afterwards the last one, also while it is asked for again. */
  answer: Answer | undefined;
  error: unknown;
  again: () => void;
}

/** What `ask` answers, asked whenever `inputs` change. An answer that was overtaken is dropped. */
export function useFetched<Answer>(ask: (signal: AbortSignal) => Promise<Answer>, inputs: readonly unknown[]): Fetched<Answer> {
  const [state, setState] = useState<{ answer: Answer | undefined; error: unknown }>({ answer: undefined, error: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const asking = new AbortController();
    ask(asking.signal).then(
      (answer) => asking.signal.aborted || setState({ answer, error: null }),
      (error) => asking.signal.aborted || setState(({ answer }) => ({ answer, error })),
    );
    return () => asking.abort();
  }, [...inputs, round]);
  const again = useCallback(() => setRound((round) => round + 1), []);
  return { ...state, again };
}
