# Sourced. Lets git talk to the server with GH_TOKEN where the checkout has kept no credentials of its own. By the
# environment of this process only: in no file, in no argument.
if [ -n "${GH_TOKEN:-}" ] && [ -n "${GITHUB_SERVER_URL:-}" ] &&
  ! git config --get-all "http.$GITHUB_SERVER_URL/.extraheader" >/dev/null; then
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$GITHUB_SERVER_URL/.extraheader"
  GIT_CONFIG_VALUE_0="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$GH_TOKEN" | base64 | tr -d '\n')"
  export GIT_CONFIG_VALUE_0
fi
