// Elements from data. Text goes in as text nodes only, so nothing that was said or named can become markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "role") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// 83.4 -> "1:23.4", with hours where there are some
export function clock(seconds) {
  const tenths = Math.max(0, Math.round(seconds * 10));
  const hours = Math.floor(tenths / 36000);
  const minutes = Math.floor(tenths / 600) % 60;
  const rest = `${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const letters = /[\p{L}\p{N}]+/gu;

// The text as nodes, with the words that were asked for marked.
export function marked(text, asked) {
  const nodes = [];
  let at = 0;
  for (const found of text.matchAll(letters)) {
    if (!asked.has(found[0].toLowerCase())) continue;
    nodes.push(text.slice(at, found.index), el("mark", { className: "asked" }, found[0]));
    at = found.index + found[0].length;
  }
  nodes.push(text.slice(at));
  return nodes.filter((node) => node !== "");
}

// The words to mark; short ones ("the", "in") only where there are no others.
export function wordsOf(text) {
  const words = (text.match(letters) ?? []).map((word) => word.toLowerCase());
  const long = words.filter((word) => word.length > 3);
  return new Set(long.length ? long : words);
}

// "bell -rain" -> {text: "bell", minus: ["rain"]}; a minus inside a word ("x-ray") is a letter of it
export function signed(written) {
  const minus = [];
  const text = written.replace(/(^|\s)[-−](?:"([^"]*)"|([^\s"]+))/g, (_, before, quoted, word) => {
    const away = (quoted ?? word).trim();
    if (away) minus.push(away);
    return " ";
  });
  return { text: text.replace(/\s+/g, " ").trim(), minus };
}

export const within = (phrase, moment) => phrase.start < moment.end && phrase.end > moment.start;
