// Shows the contract: every operation with parameters, bodies, answers and examples, and a form to try it.
import {element, headers, keepKey, showProblem, Problem} from './api.js';
import {inline, prose} from './prose.js';

const $ = (id) => document.getElementById(id);
let contract;

/** Follows a reference. */
function resolve(value) {
  if (!value?.$ref) return value;
  return value.$ref.slice(2).split('/').reduce((at, token) => at[token], contract);
}

const nameOf = (ref) => ref.split('/').pop();
const json = (value) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));

function build() {
  $('about').replaceChildren(element('h2', {}, `${contract.info.title} ${contract.info.version}`), ...prose(contract.info.description));
  for (const tag of contract.tags) {
    const list = operationsOf(tag.name);
    $('contents').append(element('h2', {}, tag.name), ...list.map((o) => element('a', {href: `#${o.operation.operationId}`}, o.operation.operationId)));
    $('operations').append(element('h2', {}, tag.description), ...list.map(showOperation));
  }
  $('schemas').append(...Object.entries(contract.components.schemas).map(([name, schema]) =>
    element('details', {id: `schema-${name}`}, element('summary', {}, element('code', {}, name)), ...showSchema(schema))));
  openTarget();
}

function operationsOf(tag) {
  const list = [];
  for (const [path, item] of Object.entries(contract.paths)) {
    for (const method of ['get', 'post', 'put', 'delete']) {
      const operation = item[method];
      if (operation?.tags.includes(tag)) {
        list.push({path, method: method.toUpperCase(), operation, parameters: [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(resolve)});
      }
    }
  }
  return list;
}

function showOperation({path, method, operation, parameters}) {
  const scopes = operation['x-scopes'] ?? [];
  const parts = [...prose(operation.description ?? '')];
  parts.push(element('p', {class: 'note'}, scopes.length ? `Scope: ${scopes.join(' or ')}` : 'No key needed'));
  if (parameters.length) parts.push(element('h4', {}, 'Parameters'), showParameters(parameters));
  if (operation.requestBody) parts.push(element('h4', {}, 'Body'), ...showContent(operation.requestBody.content));
  parts.push(element('h4', {}, 'Answers'), ...Object.entries(operation.responses).map(showAnswer));
  parts.push(element('h4', {}, 'Try it'), tryForm(path, method, operation, parameters));
  return element('details', {class: 'card operation', id: operation.operationId},
    element('summary', {}, element('span', {class: `method ${method}`}, method), element('span', {class: 'path'}, path), element('span', {class: 'what'}, ...inline(operation.summary))),
    element('div', {class: 'prose'}, ...parts));
}

function showParameters(parameters) {
  return element('table', {},
    element('thead', {}, element('tr', {}, ...['Name', 'In', 'Form', 'Meaning'].map((h) => element('th', {scope: 'col'}, h)))),
    element('tbody', {}, ...parameters.map((p) => element('tr', {},
      element('td', {}, element('code', {}, p.name), p.required ? ' (required)' : ''), element('td', {}, p.in),
      element('td', {}, form(p.schema)), element('td', {}, ...inline(p.description ?? ''))))));
}

function showContent(content) {
  return Object.entries(content).flatMap(([media, {schema, examples, example}]) => {
    const list = examples ? Object.entries(examples) : example !== undefined ? [['example', {value: example}]] : [];
    return [
      element('p', {}, element('code', {}, media), ' ', form(schema)),
      ...list.map(([name, {summary, value}]) => element('details', {}, element('summary', {}, summary ?? name), element('pre', {}, json(value)))),
    ];
  });
}

function showAnswer([status, reference]) {
  const response = resolve(reference);
  return element('details', {}, element('summary', {}, element('code', {}, status), ' ', ...inline(response.description)), ...showContent(response.content ?? {}));
}

/** Says the form of a schema in a few words, with a link where it has a name. */
function form(schema) {
  if (!schema) return '';
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return element('a', {href: `#schema-${name}`}, name);
  }
  if (schema.type === 'array') return element('span', {}, 'array of ', form(schema.items) || 'values', bounds(schema.minItems, schema.maxItems));
  const words = schema.oneOf ? schema.oneOf.map((one) => one.format ?? one.type).join(' or ') : schema.type ?? 'any value';
  const limits = bounds(schema.minimum ?? schema.minLength, schema.maximum ?? schema.maxLength);
  const initial = schema.default !== undefined ? `, ${schema.default} by default` : '';
  return words + limits + initial + (schema.nullable ? ' or null' : '');
}

function bounds(low, high) {
  if (low !== undefined && high !== undefined) return ` (${low} to ${high})`;
  if (high !== undefined) return ` (at most ${high})`;
  return low !== undefined ? ` (at least ${low})` : '';
}

function showSchema(schema) {
  const parts = schema.description ? prose(schema.description) : [];
  if (!schema.properties) return [...parts, element('p', {class: 'schema'}, form(schema))];
  const rows = Object.entries(schema.properties).map(([name, of]) => element('tr', {},
    element('td', {}, element('code', {}, name), schema.required?.includes(name) ? ' (required)' : ''),
    element('td', {}, form(of)), element('td', {}, ...inline(of.description ?? ''))));
  return [...parts, element('table', {class: 'schema'}, element('tbody', {}, ...rows))];
}

/** The form that sends an operation. Admin and probe operations live on other addresses, which this page may not ask. */
function tryForm(path, method, operation, parameters) {
  if (!path.startsWith('/v1/')) return element('p', {class: 'note'}, 'Served on another address; see Listeners above.');
  const inputs = parameters.map((p) => element('input', {name: p.name, value: p.example ?? '', 'aria-label': p.name}));
  const examples = Object.entries(operation.requestBody?.content ?? {}).flatMap(([media, {examples: all}]) =>
    Object.entries(all).map(([name, {summary, value}]) => ({media, name: summary ?? name, text: json(value)})));
  const body = element('textarea', {'aria-label': 'Body', spellcheck: 'false'});
  body.value = examples[0]?.text ?? '';
  const pick = element('select', {'aria-label': 'Example', onchange: () => { body.value = examples[pick.value].text; }},
    ...examples.map((e, i) => element('option', {value: i}, e.name)));
  const problem = element('div', {class: 'problem', role: 'alert', hidden: true});
  const status = element('p', {class: 'note', 'aria-live': 'polite'});
  const output = element('pre', {hidden: true});
  return element('form', {class: 'try', onsubmit: async (event) => {
    event.preventDefault();
    const url = fill(path, parameters, inputs);
    const start = performance.now();
    try {
      const answer = await fetch(url, {method, headers: headers(examples[pick.value]?.media), body: examples.length ? body.value : undefined});
      const text = await answer.text();
      status.textContent = `${answer.status} in ${(performance.now() - start).toFixed(1)} ms · ${answer.headers.get('Server-Timing') ?? ''}`;
      output.hidden = false;
      output.textContent = pretty(text) || '(no body)';
      showProblem(problem, null);
    } catch (err) {
      showProblem(problem, new Problem({title: 'The service cannot be reached', detail: err.message}));
    }
  }},
  ...parameters.map((p, i) => element('label', {}, `${p.name}${p.required ? '' : ' (optional)'}`, inputs[i])),
  ...(examples.length ? [element('label', {}, 'Start from', pick), element('label', {}, 'Body', body)] : []),
  element('div', {}, element('button', {type: 'submit'}, `Send ${method}`)), problem, status, output);
}

function fill(path, parameters, inputs) {
  const query = new URLSearchParams();
  parameters.forEach((p, i) => {
    const value = inputs[i].value;
    if (p.in === 'path') path = path.replace(`{${p.name}}`, encodeURIComponent(value));
    else if (value) query.set(p.name, value);
  });
  return query.size ? `${path}?${query}` : path;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Opens what the address points at. */
function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (!target) return;
  if (target.tagName === 'DETAILS') target.open = true;
  target.scrollIntoView();
}

keepKey($('key'));
addEventListener('hashchange', openTarget);
contract = await (await fetch('/openapi.json')).json();
build();
