import type { Signal } from "@preact/signals";
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { ApiError } from "../../api";
import { Button } from "../../components/Button";
import { ErrorNote } from "../../components/ErrorNote";
import { audioOf, vote, type Kind, type Progress, type Trial, type Vote } from "../../listening";
import { strings } from "../../strings";
import { Answers, inOrder } from "./Answers";
import { KeyLegend, useKeys } from "./keys";
import { Player } from "./player";
import { Revealed } from "./Revealed";
import { SideButton } from "./SideButton";
import { Timeline } from "./Timeline";

/** One question: its sides to listen to, its answers, and after the vote who it was. */
export function TrialCard({ progress, trial, onNext }: { progress: Progress; trial: Trial; onNext: () => Promise<void> }) {
  const t = strings.value.compare;
  const { player, isLoaded, error: loadError, load } = usePlayer(progress.rater_id, trial);
  const ballot = useBallot(progress, trial, player, onNext);
  const answers = inOrder(trial.answers);
  useKeys({
    onToggle: () => isLoaded && void player.toggle(),
    onSide: (side) => isLoaded && trial.sides.some((known) => known.side === side) && void player.listenTo(side),
    onAnswer: (number) => answers[number - 1] !== undefined && ballot.choose(answers[number - 1]!),
    onEnter: ballot.proceed,
  });
  return (
    <div class="card trial">
      <div class="stack tight">
        <h2>{t.kinds[progress.kind].question}</h2>
        {trial.text && <blockquote class="said">{trial.text}</blockquote>}
      </div>
      <ErrorNote error={loadError} onRetry={load} />
      <div class={`sides of-${trial.sides.length}`}>
        {trial.sides.map((side) => (
          <SideButton key={side.side} player={player} isReady={isLoaded} {...side} />
        ))}
      </div>
      <Timeline player={player} isReady={isLoaded} />
      {ballot.cast ? (
        <Revealed kind={progress.kind} vote={ballot.cast} onNext={ballot.proceed} isLast={progress.voted + 1 === progress.total} />
      ) : (
        <Answering kind={progress.kind} answers={answers} trial={trial} player={player} ballot={ballot} />
      )}
      <KeyLegend kind={progress.kind} />
    </div>
  );
}

interface AnsweringProps {
  kind: Kind;
  answers: readonly string[];
  trial: Trial;
  player: Player;
  ballot: Ballot;
}

function Answering({ kind, answers, trial, player, ballot }: AnsweringProps) {
  const t = strings.value.compare;
  const missing = trial.sides.filter((side) => player.missing_s(side) > 0).map((side) => side.side.toUpperCase());
  return (
    <form
      class="stack answering"
      onSubmit={(event) => {
        event.preventDefault();
        ballot.proceed();
      }}
    >
      <Answers kind={kind} answers={answers} chosen={ballot.chosen} />
      <ErrorNote error={ballot.error} />
      <div class="row">
        <Button kind="primary" type="submit" isBusy={ballot.isSending} disabled={!ballot.isReady}>
          {t.vote}
        </Button>
        <p class="note" aria-live="polite">
          {missing.length > 0 ? t.listenFirst(missing.join(", "), kind === "mos") : ballot.chosen.value === null ? t.chooseOne : ""}
        </p>
      </div>
    </form>
  );
}

/** A player with the trial's clips in it, silent when the trial goes. */
function usePlayer(rater: string, trial: Trial) {
  const player = useMemo(() => new Player(), []);
  const [isLoaded, setLoaded] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const leaving = useRef(new AbortController());
  const load = async () => {
    const { signal } = leaving.current;
    setError(null);
    try {
      const clips = trial.sides.map(
        async ({ side }) => [side, await player.decode(await audioOf(rater, trial.position, side, signal))] as const,
      );
      player.load(new Map(await Promise.all(clips)));
      setLoaded(true);
    } catch (error) {
      if (!signal.aborted) setError(error);
    }
  };
  useEffect(() => {
    void load();
    return () => {
      leaving.current.abort();
      void player.close();
    };
  }, []);
  return { player, isLoaded, error, load };
}

interface Ballot {
  chosen: Signal<string | null>;
  choose: (answer: string) => void;
  /** Heard and chosen: it may be cast. */
  isReady: boolean;
  isSending: boolean;
  error: unknown;
  /** The vote, while its names are shown. */
  cast: Vote | null;
  /** Vote, or go on to the next trial. */
  proceed: () => void;
}

function useBallot(progress: Progress, trial: Trial, player: Player, onNext: () => Promise<void>): Ballot {
  const chosen = useSignal<string | null>(null);
  const [isSending, setSending] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [cast, setCast] = useState<Vote | null>(null);
  const isReady = chosen.value !== null && trial.sides.every((side) => player.missing_s(side) === 0);

  const send = async (answer: string) => {
    setSending(true);
    player.pause();
    try {
      const counted = await vote(progress.rater_id, trial.position, answer, player.heard_s.value);
      setError(null);
      if (counted.names === null) await onNext();
      else setCast(counted);
    } catch (error) {
      setError(error);
      // It may have been cast elsewhere, in another tab: then there is another trial.
      if (error instanceof ApiError && error.code === "vote_conflict") await onNext();
    } finally {
      setSending(false);
    }
  };
  const goOn = async () => {
    setSending(true);
    await onNext();
    setSending(false);
  };
  return {
    chosen,
    choose: (answer) => {
      if (cast === null) chosen.value = answer;
    },
    isReady,
    isSending,
    error,
    cast,
    proceed: () => {
      if (isSending) return;
      if (cast !== null) void goOn();
      else if (isReady && chosen.value !== null) void send(chosen.value);
    },
  };
}
