const assert = require("node:assert");
const test = require("node:test");
const { page } = require("./pages");

test("a page becomes HTML", () => {
  assert.match(page("index"), /<h1>Rise<\/h1>/);
});

test("what is no page is not there", () => {
  for (const name of ["nothing", "../package", ""]) assert.strictEqual(page(name), undefined);
});
