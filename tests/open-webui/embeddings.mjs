// Embeddings for Open WebUI's retrieval, which has no model offline. All texts are alike.
// usage: node embeddings.mjs PORT
import http from 'node:http';

http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { input = [] } = JSON.parse(Buffer.concat(chunks).toString() || '{}');
  const data = [input].flat().map((_, index) => ({ object: 'embedding', index, embedding: [1, 0, 0] }));
  response.setHeader('content-type', 'application/json').end(JSON.stringify({ object: 'list', data }));
}).listen(Number(process.argv[2]), '127.0.0.1');
