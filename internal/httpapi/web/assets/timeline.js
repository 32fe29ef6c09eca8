// A history as a line of time, and on it the moments that one predicted item rests on.
import {element} from './api.js';

const height = 110, base = 96, top = 14; // of the picture, of the line in it, of the heaviest moment; in pixels

function svg(name, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const day = (ms) => new Date(ms).toLocaleDateString(undefined, {year: 'numeric', month: 'short', day: 'numeric', timeZone: 'UTC'});
const percent = (weight) => `${(100 * weight).toPrecision(weight < 0.1 ? 1 : 2)} %`;
const ago = (place) => (place === 1 ? 'the newest event' : `${place - 1} ${place === 2 ? 'event' : 'events'} before the newest`);

/**
 * timeline(moments, {events, oldest, newest}) returns the parts to show: a picture whose marks the arrow keys walk, and the
 * same moments as a list. Where a time is missing the line counts events.
 */
export function timeline(moments, {events, oldest, newest}) {
  const timed = oldest && newest > oldest && moments.every((m) => m.time);
  const share = (m) => (timed ? (m.time - oldest) / (newest - oldest) : events > 1 ? 1 - (m.place - 1) / (events - 1) : 1);
  const heaviest = Math.max(...moments.map((m) => m.weight), Number.MIN_VALUE);
  const words = moments.map((m) => [m.kind, ...(m.time ? [day(m.time)] : []), ago(m.place)].join(', '));

  const marks = moments.map((m, i) => {
    const x = `${2 + 96 * Math.min(Math.max(share(m), 0), 1)}%`;
    const y = base - (base - top) * m.weight / heaviest;
    return svg('g', {class: 'moment', 'data-moment': i, tabindex: i === 0 ? 0 : -1, role: 'img', 'aria-label': `${m.title ?? m.item}: ${words[i]}, ${percent(m.weight)} of the attention`},
      svg('line', {x1: x, x2: x, y1: base, y2: y}), svg('circle', {cx: x, cy: y, r: 6}));
  });
  const rows = moments.map((m, i) => element('li', {'data-moment': i},
    element('span', {class: 'title'}, m.title ?? m.item, element('small', {}, words[i])), element('span', {class: 'score'}, percent(m.weight))));

  function show(i) {
    for (const one of [...marks, ...rows]) one.classList.toggle('shown', Number(one.dataset.moment) === i);
  }
  [...marks, ...rows].forEach((one) => one.addEventListener('pointerenter', () => show(Number(one.dataset.moment))));
  const order = marks.map((_, i) => i).sort((a, b) => share(moments[a]) - share(moments[b])); // oldest first, as they stand
  marks.forEach((mark, i) => {
    mark.addEventListener('focus', () => show(i));
    mark.addEventListener('keydown', (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      const next = marks[order[order.indexOf(i) + step]];
      if (!next) return;
      event.preventDefault();
      mark.setAttribute('tabindex', -1);
      next.setAttribute('tabindex', 0);
      next.focus();
    });
  });

  return [
    svg('svg', {class: 'timeline', height, role: 'group', 'aria-label': 'Time line; the arrow keys walk it'},
      svg('line', {class: 'axis', x1: '1%', x2: '99%', y1: base, y2: base}), ...marks),
    element('p', {class: 'ends'}, element('span', {}, timed ? day(oldest) : ago(events)), element('span', {}, timed ? day(newest) : 'the newest event')),
    element('ol', {class: 'moments', 'aria-label': 'Moments, heaviest first'}, ...rows),
  ];
}
