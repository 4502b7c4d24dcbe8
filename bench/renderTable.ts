/** Columns under one another, the first to the left and numbers to the right. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  return rows
    .map((row) =>
      row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))),
    )
    .map((cells) => `  ${cells.join('   ')}`.trimEnd())
    .join('\n');
}

/** Three digits that mean something: more would be noise. */
export function formatFigure(value: number | undefined): string {
  if (value === undefined) return 'not measured';
  return value >= 1000
    ? Number(value.toPrecision(3)).toLocaleString('en-US')
    : `${Number(value.toPrecision(3))}`;
}
