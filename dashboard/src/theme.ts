/** Light, dark, or what the system says; and the colours as the canvas needs them. */

const PLACE = "nexus.theme";
const CHOICES = ["auto", "light", "dark"] as const;
type Choice = (typeof CHOICES)[number];

/** Reads a colour of the style sheet. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Lets the button go through the choices; `changed` draws again what is not styled. */
export function startTheme(button: HTMLButtonElement, changed: () => void): void {
  const show = (choice: Choice) => {
    if (choice === "auto") {
      delete document.documentElement.dataset.theme;
    } else {
      document.documentElement.dataset.theme = choice;
    }
    button.textContent = `Theme: ${choice}`;
    changed();
  };
  let current = CHOICES.find((choice) => choice === localStorage.getItem(PLACE)) ?? "auto";
  button.addEventListener("click", () => {
    current = CHOICES[(CHOICES.indexOf(current) + 1) % CHOICES.length] ?? "auto";
    localStorage.setItem(PLACE, current);
    show(current);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show(current);
}
