// A text field that suggests, after the combobox pattern of the ARIA practices: arrows walk the list, Enter takes,
// Escape closes (and then clears), and the focus never leaves the field.
import {element} from './api.js';

const pause = 120; // milliseconds without a key before the question goes out

/**
 * combobox(field, list, {find(text, signal) -> items, show(item) -> children, choose(item), fail(err)}).
 */
export function combobox(field, list, {find, show, choose, fail}) {
  let items = [], at = -1, timer, asking;

  function close() {
    clearTimeout(timer);
    asking?.abort();
    list.hidden = true;
    field.setAttribute('aria-expanded', 'false');
    field.removeAttribute('aria-activedescendant');
    items = [];
    at = -1;
  }

  function mark(next) {
    at = next;
    [...list.children].forEach((option, i) => option.setAttribute('aria-selected', String(i === at)));
    if (at < 0) field.removeAttribute('aria-activedescendant');
    else field.setAttribute('aria-activedescendant', list.children[at].id);
    list.children[at]?.scrollIntoView({block: 'nearest'});
  }

  function take(i) {
    const item = items[i];
    if (!item) return;
    field.value = '';
    close();
    choose(item);
  }

  async function open() {
    const text = field.value.trim();
    if (!text) return close();
    asking?.abort();
    asking = new AbortController();
    try {
      items = await find(text, asking.signal);
    } catch (err) {
      if (err.name !== 'AbortError') fail(err);
      return;
    }
    list.replaceChildren(...(items.length ? items.map((item, i) => element('li', {
      role: 'option', id: `${list.id}-${i}`, 'aria-selected': 'false',
      onpointerdown: (event) => event.preventDefault(), // keeps the focus in the field
      onclick: () => take(i),
    }, ...show(item))) : [element('li', {class: 'none', role: 'option', 'aria-disabled': 'true'}, 'Nothing found')]));
    list.hidden = false;
    field.setAttribute('aria-expanded', 'true');
    mark(items.length ? 0 : -1);
  }

  field.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(open, pause);
  });
  field.addEventListener('blur', close);
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      if (list.hidden) field.value = '';
      return close();
    }
    if (event.key === 'ArrowDown' && list.hidden) return open();
    if (list.hidden || !items.length) return;
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step) {
      event.preventDefault();
      mark((at + step + items.length) % items.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      take(at);
    }
  });
}
