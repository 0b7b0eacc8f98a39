// Starts the pages that show the API's description; what they need is in data attributes.
"use strict";

(() => {
  const { nonce } = document.currentScript; // ReDoc writes style elements of its own

  const startSwagger = (root) => {
    const { schema, csrfHeader, csrfToken } = root.dataset;
    SwaggerUIBundle({
      url: schema,
      dom_id: `#${root.id}`,
      presets: [SwaggerUIBundle.presets.apis],
      layout: "BaseLayout",
      deepLinking: true,
      validatorUrl: null,
      requestInterceptor: (request) => {
        const isOurs = new URL(request.url, document.baseURI).origin === location.origin;
        if (isOurs && !["GET", "HEAD"].includes(request.method ?? "GET")) {
          request.headers[csrfHeader] = csrfToken;
        }
        return request;
      },
    });
  };

  const swagger = document.getElementById("swagger-ui");
  if (swagger) startSwagger(swagger);
  const redoc = document.getElementById("redoc-container");
  if (redoc) Redoc.init(redoc.dataset.schema, { nonce }, redoc);
})();
