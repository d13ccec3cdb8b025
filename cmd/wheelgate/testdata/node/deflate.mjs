// Sends a long text and a short one to the echo at argv[2], compressed, and says
// what came back.
import WebSocket from 'ws';

const texts = ['gate 7 open '.repeat(1000), 'short'];
const ws = new WebSocket(process.argv[2], {perMessageDeflate: {threshold: 0}});
let echoes = 0;
ws.on('open', () => texts.forEach((text) => ws.send(text)));
ws.on('message', (data) => {
  if (data.toString() !== texts[echoes++]) throw new Error(`not what was sent: ${data}`);
  if (echoes < texts.length) return;
  console.log(ws.extensions, ws._socket.bytesRead);
  ws.close();
});
