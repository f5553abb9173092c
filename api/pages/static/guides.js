// Examples and links name this very server, and examples can be copied; the contents are open where there is room beside the page.
"use strict";

(() => {
  const DOCUMENTED = "http://127.0.0.1:8000";
  const base = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const wide = matchMedia("(min-width: 1000px)");
  const contents = document.querySelector(".toc details");
  const status = document.getElementById("copied");

  const open = () => (contents.open = wide.matches);
  wide.addEventListener("change", open);
  open();

  function name(element) {
    const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(DOCUMENTED, base);
  }

  for (const link of document.querySelectorAll(`main a[href^="${DOCUMENTED}"]`)) {
    link.href = link.href.replace(DOCUMENTED, base);
    name(link);
  }

  async function copy(element) {
    if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
    // without HTTPS a browser offers only the selection
    const selection = getSelection();
    selection.selectAllChildren(element);
    document.execCommand("copy");
    selection.removeAllRanges();
  }

  for (const pre of document.querySelectorAll("main pre")) {
    name(pre);
    const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
    const figure = document.createElement("figure");
    pre.replaceWith(figure);
    figure.append(pre, button);
    button.addEventListener("click", async () => {
      const said = await copy(pre).then(() => "Copied", () => "Not copied");
      button.textContent = status.textContent = said;
      setTimeout(() => {
        button.textContent = "Copy";
        status.textContent = "";
      }, 1600);
    });
  }
})();
