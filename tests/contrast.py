"""How readable text is in a browser: WCAG 2.2, by relative luminance."""

CONTRAST = """element => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = [];
  for (let up = element; up; up = up.parentElement) grounds.unshift(getComputedStyle(up).backgroundColor);
  const style = getComputedStyle(element), ink = element.closest("svg") ? style.fill : style.color;
  const [low, high] = [luminance(grounds), luminance([...grounds, ink])].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""
"""A function of an element: the contrast ratio of its text to the ground it stands on."""

HARD_TO_READ = """least => {
  const contrast = CONTRAST, known = new Map(), grounds = new Map(), found = new Set();
  const ground = element => {
    if (!element) return "";
    if (!grounds.has(element))
      grounds.set(element, getComputedStyle(element).backgroundColor + ground(element.parentElement));
    return grounds.get(element);
  };
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE)
      .map(node => node.data.trim()).join(" ").trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const style = getComputedStyle(element), ink = element.closest("svg") ? style.fill : style.color;
    const key = ink + ground(element);
    if (!known.has(key)) known.set(key, contrast(element));
    if (known.get(key) < least) found.add(`${text.slice(0, 40)} (${element.className}): ${known.get(key).toFixed(2)}`);
  }
  return [...found];
}""".replace("CONTRAST", CONTRAST)
"""A function of the least contrast ratio: the texts of a page that have less, each with its own."""
