// The account corner of the header, and its two dialogs: sign in, register, sign out.
"use strict";

(() => {
  const { session } = Tandem;
  const find = (id) => document.getElementById(id);
  const dialogs = { "sign-in": session.signIn, register: session.register };
  const openers = document.querySelectorAll(".account > [data-opens]");

  function show(username, note = "") {
    for (const opener of openers) opener.hidden = username !== null;
    find("signed-in").hidden = username === null;
    find("who").textContent = username ?? "";
    find("session-note").textContent = note;
  }

  /** Opens the dialog of this id. What was typed into the other one comes along, and nothing is lost by closing. */
  function open(id) {
    const dialog = find(id);
    const other = document.querySelector(`.account-dialog[open]:not(#${id})`);
    if (other) {
      for (const name of ["username", "password"]) {
        const typed = other.querySelector(`[name=${name}]`).value;
        if (typed) dialog.querySelector(`[name=${name}]`).value = typed;
      }
      other.close();
    }
    mark(dialog.querySelector("form"), null);
    if (!dialog.open) dialog.showModal();
    const inputs = [...dialog.querySelectorAll("label:not([hidden]) input")];
    (inputs.find(({ value }) => !value) ?? inputs[0]).focus();
  }

  // What the server said of a field stands below the form and marks the field; the fields keep what was typed.
  function mark(form, error) {
    const named = Object.entries(error?.fields ?? {}).filter(([name]) => form.elements[name]);
    for (const input of form.querySelectorAll("input")) {
      if (named.some(([name]) => name === input.name)) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
    for (const [name] of named) form.elements[name].closest("label").hidden = false;
    const label = (name) => form.elements[name].closest("label").firstChild.data.trim();
    const lines = named.map(([name, detail]) => `${label(name)}: ${detail}`);
    const text = lines.join("\n") || (error instanceof TypeError ? "The server cannot be reached." : error?.message);
    form.querySelector(".message").textContent = text ?? "";
    if (named.length) form.elements[named[0][0]].focus();
  }

  async function submit(form, action) {
    const button = form.querySelector("button:not([type])");
    mark(form, null);
    button.disabled = true;
    try {
      const filled = [...new FormData(form)].filter(([, value]) => value !== "");
      await action(Object.fromEntries(filled));
      form.reset();
      form.closest("dialog").close();
    } catch (error) {
      mark(form, error);
    } finally {
      button.disabled = false;
    }
  }

  for (const [id, action] of Object.entries(dialogs)) {
    find(id).addEventListener("submit", (event) => {
      event.preventDefault();
      submit(event.target, action);
    });
  }
  document.addEventListener("click", ({ target }) => {
    const opener = target.closest("[data-opens]");
    if (opener) open(opener.dataset.opens);
    target.closest("[data-closes]")?.closest("dialog").close();
  });
  find("sign-out").addEventListener("click", () => {
    session.signOut();
    openers[0].focus();
  });

  session.onChange(show);
  show(session.username);
})();
