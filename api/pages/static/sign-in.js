// The account corner of the header: sign in, register, sign out.
"use strict";

(() => {
  const { session } = Tandem;
  const find = (id) => document.getElementById(id);
  const signIn = find("sign-in");
  const dialog = find("register");

  function show(username, note = "") {
    signIn.hidden = username !== null;
    find("signed-in").hidden = username === null;
    find("who").textContent = username ?? "";
    find("account-message").textContent = note;
  }

  async function submit(form, message, action) {
    const button = form.querySelector("button:not([type])");
    message.textContent = "";
    button.disabled = true;
    try {
      await action(Object.fromEntries(new FormData(form)));
      form.reset();
      return true;
    } catch (error) {
      message.textContent = error instanceof TypeError ? "The server cannot be reached." : error.message;
      return false;
    } finally {
      button.disabled = false;
    }
  }

  signIn.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(signIn, find("account-message"), ({ username, password }) => session.signIn(username, password));
  });

  find("sign-out").addEventListener("click", () => {
    session.signOut();
    signIn.elements.username.focus();
  });

  find("open-register").addEventListener("click", () => {
    find("register-message").textContent = "";
    dialog.showModal();
  });
  find("close-register").addEventListener("click", () => dialog.close());
  dialog.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await submit(event.target, find("register-message"), session.register)) dialog.close();
  });

  session.onChange(show);
  show(session.username);
})();
