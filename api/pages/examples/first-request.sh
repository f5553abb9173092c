# Register
curl http://127.0.0.1:8000/api/v1/users \
  -H 'Content-Type: application/json' \
  -d '{"username": "ada", "email": "ada@example.com",
       "password": "analytical-engine-1843"}'

# Sign in
TOKEN=$(curl -s http://127.0.0.1:8000/token \
  -d username=ada -d password=analytical-engine-1843 |
  sed 's/.*"access_token": *"\([^"]*\)".*/\1/')

# Add a task
curl http://127.0.0.1:8000/api/v1/tasks \
  -H "Authorization: Bearer $TOKEN" \
  -H 'Content-Type: application/json' \
  -d '{"title": "Take a first ride"}'

# List your tasks
curl http://127.0.0.1:8000/api/v1/tasks \
  -H "Authorization: Bearer $TOKEN"
