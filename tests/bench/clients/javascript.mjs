// As in the SDK's own example of a streamed workflow.
import { CozeAPI, WorkflowEventType } from '@coze/api';

const client = new CozeAPI({
  token: process.env.COZE_API_TOKEN,
  baseURL: process.env.COZE_API_BASE,
});
const stream = await client.workflows.runs.stream({
  workflow_id: process.env.COZE_WORKFLOW_ID,
  parameters: JSON.parse(process.env.COZE_PARAMETERS),
});
for await (const event of stream) {
  if (event.event === WorkflowEventType.MESSAGE) {
    console.log(event.data.content);
  } else if (event.event === WorkflowEventType.ERROR) {
    throw new Error(JSON.stringify(event.data));
  }
}
