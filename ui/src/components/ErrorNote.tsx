import { messageOf } from "../api";
import { strings } from "../strings";
import { Button } from "./Button";

/** A failure in the place where it happened. Nothing where there is none. */
export function ErrorNote({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  if (error === null || error === undefined) return null;
  return (
    <div class="error-note" role="alert">
      <p>{messageOf(error)}</p>
      {onRetry && (
        <Button kind="quiet" onClick={onRetry}>
          {strings.value.common.retry}
        </Button>
      )}
    </div>
  );
}
