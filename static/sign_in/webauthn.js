/* A form with data-webauthn="create" or "get" is sent after the browser has asked the key. */
"use strict";

document.querySelectorAll("form[data-webauthn]").forEach((form) => {
  const says = form.querySelector("[data-webauthn-says]");
  const data = JSON.parse(document.getElementById("webauthn-data").textContent);

  form.addEventListener("submit", async (event) => {
    const field = form.querySelector("[name=credential]");
    if (field.value && field.value !== "null") { // Django's form writes null for nothing yet
      return;
    }
    event.preventDefault();
    says.textContent = "Touch your key, or follow what the browser asks.";
    try {
      const answer = form.dataset.webauthn === "create"
        ? await webauthnJSON.create(data.creation_options)
        : await webauthnJSON.get(data.request_options);
      field.value = JSON.stringify(answer);
      form.requestSubmit();
    } catch (error) {
      says.textContent = "The key did not answer, or it was cancelled. Try again.";
    }
  });
});
