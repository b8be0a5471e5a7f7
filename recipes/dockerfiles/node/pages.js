// Pages: NAME.md in pages/ becomes HTML.
const fs = require("node:fs");
const path = require("node:path");
const markdown = require("markdown-it")();

const DIRECTORY = path.join(__dirname, "pages");

/** The HTML of a page; undefined where there is none. */
exports.page = (name) => {
  // A name and nothing else: no way out of the directory.
  if (!/^[a-z0-9-]+$/.test(name)) return undefined;
  const file = path.join(DIRECTORY, `${name}.md`);
  return fs.existsSync(file) ? markdown.render(fs.readFileSync(file, "utf8")) : undefined;
};
