# curl, grep and jq as scripts put them together. $1 is the request's body; with LIVE every text is
# shown as it comes.
curl -sN "$COZE_API_BASE/v1/workflow/stream_run" \
  -H "Authorization: Bearer $COZE_API_TOKEN" -H 'Content-Type: application/json' -d "$1" |
  grep ${LIVE:+--line-buffered} '^data: ' |
  jq -Rr ${LIVE:+--unbuffered} '.[6:] | fromjson | select(.node_type == "End") | .content'
