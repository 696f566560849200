// Questions to the service. Whatever goes wrong is an error with one line for people.

export class Gone extends Error {}
export class Locked extends Error {}

export async function ask(path, { json, form, signal } = {}) {
  const options = { signal };
  if (json !== undefined) {
    options.method = "POST";
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(json);
  } else if (form !== undefined) {
    options.method = "POST";
    options.body = form;
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Gone("The service does not answer. Is it still running?");
  }
  let answer = {};
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Gone("The service stopped in the middle of its answer.");
  }
  if (response.status === 401) throw new Locked(answer.error ?? "a token is needed");
  if (!response.ok) throw new Error(answer.error ?? `the service answers ${response.status}`);
  return answer;
}

export async function unlock(token) {
  try {
    const response = await fetch("/api/session", { method: "POST", headers: { authorization: `Bearer ${token}` } });
    return response.ok;
  } catch {
    throw new Gone("The service does not answer. Is it still running?");
  }
}

// files: {file, kind} to look for, or minus: {file, kind} to keep away from
export function upload({ file, kind, minus }, question) {
  const form = new FormData();
  form.append("question", JSON.stringify(question));
  if (file) {
    form.append("kind", kind);
    form.append("file", file, "query"); // its name is nobody's business
  }
  if (minus) {
    form.append("minus_kind", minus.kind);
    form.append("minus", minus.file, "minus");
  }
  return form;
}
