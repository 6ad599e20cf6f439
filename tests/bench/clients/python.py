# As in the SDK's own example of a streamed workflow.
import json
import os

from cozepy import Coze, TokenAuth, WorkflowEventType

coze = Coze(auth=TokenAuth(os.environ["COZE_API_TOKEN"]), base_url=os.environ["COZE_API_BASE"])
for event in coze.workflows.runs.stream(
    workflow_id=os.environ["COZE_WORKFLOW_ID"],
    parameters=json.loads(os.environ["COZE_PARAMETERS"]),
):
    if event.event == WorkflowEventType.MESSAGE:
        print(event.message.content)
    elif event.event == WorkflowEventType.ERROR:
        raise SystemExit(event.error)
