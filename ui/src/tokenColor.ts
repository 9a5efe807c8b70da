/** A colour of tokens.css in the theme that holds, as `rgb(…)`: canvases don't know `var()`. */
export function tokenColor(name: `--${string}`): string {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
