// What both pages need: asking the service, and making elements without ever parsing text as HTML.

const keyName = 'seqrec-key';

/** Connects the key field of the page with what ask sends. */
export function keepKey(input) {
  input.value = sessionStorage.getItem(keyName) ?? '';
  input.addEventListener('change', () => sessionStorage.setItem(keyName, input.value.trim()));
}

/** Problem is an answer of the service that is not a success. */
export class Problem extends Error {
  constructor(problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/** Headers with the key, if there is one. */
export function headers(media) {
  const all = {};
  if (media) all['Content-Type'] = media;
  const key = sessionStorage.getItem(keyName);
  if (key) all['X-API-Key'] = key;
  return all;
}

/** Asks the service; returns the JSON of a success and throws a Problem otherwise. */
export async function ask(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method, signal,
      headers: headers(body === undefined ? undefined : 'application/json'),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new Problem({title: 'The service cannot be reached', detail: err.message});
  }
  const text = await answer.text();
  let value;
  try {
    value = text ? JSON.parse(text) : {};
  } catch {
    throw new Problem({title: 'The answer cannot be read', status: answer.status});
  }
  if (!answer.ok) throw new Problem(value);
  return value;
}

/** Makes an element: element('a', {href: '/'}, 'text', other). Event handlers are given as onclick and so on. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, '');
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

/** Shows a problem in its box, or hides the box. */
export function showProblem(box, err) {
  box.hidden = !err;
  box.replaceChildren();
  if (!err) return;
  const p = err.problem ?? {title: 'Something went wrong in this page', detail: String(err)};
  box.append(element('strong', {}, p.title + (p.status ? ` (${p.status})` : '')));
  if (p.status === 401) box.append(element('p', {}, 'Give a key under “Key” at the top of the page.'));
  if (p.detail) box.append(element('p', {}, p.detail));
  if (p.errors?.length) {
    box.append(element('ul', {}, ...p.errors.map((e) =>
      element('li', {}, element('code', {}, e.parameter ?? (e.pointer || 'body')), ' ' + e.detail))));
  }
  if (p.instance) box.append(element('p', {class: 'note'}, `request ${p.instance}`));
}
