/** The theme: light, dark or that of the system; and its colours for the canvas. */

const STORAGE_KEY = "nexus.theme";
const CHOICES = ["auto", "light", "dark"] as const;
type Choice = (typeof CHOICES)[number];

/** Reads a colour of the style sheet. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Lets the button switch the theme; `changed` redraws what the style sheet does not colour. */
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
  let current = CHOICES.find((choice) => choice === localStorage.getItem(STORAGE_KEY)) ?? "auto";
  button.addEventListener("click", () => {
    current = CHOICES[(CHOICES.indexOf(current) + 1) % CHOICES.length] ?? "auto";
    localStorage.setItem(STORAGE_KEY, current);
    show(current);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show(current);
}
