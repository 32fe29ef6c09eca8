// The little of Markdown that the contract's descriptions use: paragraphs, tables, **bold** and `code`.
import {element} from './api.js';

/** Returns the elements of a text. */
export function prose(text) {
  return text.trim().split(/\n\s*\n/).filter(Boolean).map((block) => {
    const lines = block.split('\n').map((line) => line.trim());
    return lines[0].startsWith('|') ? table(lines) : element('p', {}, ...inline(lines.join(' ')));
  });
}

function table([head, , ...rows]) {
  const cells = (line, name) => line.split('|').slice(1, -1).map((cell) => element(name, {}, ...inline(cell.trim())));
  return element('table', {},
    element('thead', {}, element('tr', {}, ...cells(head, 'th'))),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...cells(row, 'td')))));
}

/** Returns the parts of one line of text. */
export function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith('`')) return element('code', {}, part.slice(1, -1));
    if (part.startsWith('**')) return element('strong', {}, part.slice(2, -2));
    return part;
  });
}
