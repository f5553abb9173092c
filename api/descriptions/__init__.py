"""What the OpenAPI document says beside what FastAPI makes of the routes: titles, examples, and schemas as those who
generate clients want them."""
