"""What is written from the description: OpenAPI, AsyncAPI, the pages of the documentation."""
