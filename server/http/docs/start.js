// validatorUrl: Swagger would otherwise ask a server of its makers about /openapi.json.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null });
