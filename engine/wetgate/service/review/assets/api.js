// Calls to the service. Every refusal becomes an Error with the service's own words.

const secret = document.querySelector('meta[name="wetgate-page"]').content;

const refusal = async (answer) => {
  let text = "the service answered " + answer.status;
  try { text = (await answer.json()).error.message; } catch (_) { /* not ours: the number must do */ }
  return new Error(text);
};

const call = async (path, options) => {
  let answer;
  try { answer = await fetch("/v1/page" + path, options); }
  catch (_) { throw new Error("the service does not answer; start it again with wetgate review DIRECTORY --open"); }
  if (!answer.ok) throw await refusal(answer);
  return answer;
};

export const read = async (path) => (await call(path, {})).json();

export const change = async (path, body) => (await call(path, {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-Wetgate-Page": secret },
  body: JSON.stringify(body || {}),
})).json();

// A picture with what the service says of it.
export const picture = async (path, signal) => {
  const answer = await call(path, { signal });
  const facts = JSON.parse(answer.headers.get("X-Wetgate-View"));
  return { bitmap: await createImageBitmap(await answer.blob()), facts };
};

export const jobPath = (id) => "/jobs/" + encodeURIComponent(id);
