// The first requests name this very server, and can be copied.
"use strict";

(() => {
  const base = new URL(".", location.href).href.replace(/\/$/, "");
  const rest = document.getElementById("rest-code");
  const texts = document.createTreeWalker(rest, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    texts.currentNode.data = texts.currentNode.data.replaceAll("http://127.0.0.1:8000", base);
  }

  async function copy(element) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(element.textContent + "\n");
      return;
    }
    // Without HTTPS a browser offers only the selection.
    const selection = getSelection();
    selection.selectAllChildren(element);
    document.execCommand("copy");
    selection.removeAllRanges();
  }

  const status = document.getElementById("copied");
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      let said = "Copied";
      try {
        await copy(document.getElementById(button.dataset.copy));
      } catch {
        said = "Not copied";
      }
      button.textContent = said;
      status.textContent = said;
      setTimeout(() => {
        button.textContent = "Copy";
        status.textContent = "";
      }, 1600);
    });
  }
})();
